"""What is on this machine: driver, libraries, Python packages, and a server's life on it."""

import ctypes
import importlib.util
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["torch", "numpy", "onnx", "onnxruntime", "safetensors", "tokenizers", "yaml"]
WANTED = ["tensorrt-rtx", "tensorrt-8", "tensorrt-10", "tensorrt-11"]
# The folders `setup` fills and wheels bring, and a folder that holds the files itself.
INSIDE = [".", "tensorrt_rtx", "tensorrt_rtx_libs", "tensorrt", "tensorrt_libs"]


@dataclass(frozen=True)
class Library:
    """A TensorRT that builds, or one that was looked for in vain."""

    name: str
    folder: Path = Path()
    missing: str = ""

    @property
    def backend(self) -> str:
        return "tensorrt-rtx" if self.name == "tensorrt-rtx" else "tensorrt"

    @property
    def tier(self) -> str:
        return "rtx" if self.name == "tensorrt-rtx" else "trt"

    @property
    def major(self) -> int:
        return 1 if self.name == "tensorrt-rtx" else int(self.name.rsplit("-", 1)[1])


@dataclass
class Machine:
    """This machine."""

    no_gpu: str
    folders: list[Path]
    libraries: list[Library] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)

    def libraries_or_wanted(self) -> list[Library]:
        """One per TensorRT there could be."""
        found = {library.name: library for library in self.libraries}
        looked = ", ".join(str(folder) for folder in self.folders)
        return [found.get(name, Library(name, missing=f"no {name} in {looked}")) for name in WANTED]

    def onnxruntime(self) -> Library:
        """The run-time folder that ONNX Runtime is taken from."""
        return Library("onnxruntime", self.folders[0])

    def serve(self, check, command: list) -> dict:
        """Starts a server on a free port and gives the time until it is ready and the memory it then holds."""
        before = device_mib()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [str(word) for word in [*command, "--port", port]]
        began = time.monotonic()
        with (check.out / "logs" / f"{check.name}.log").open("a") as log:
            server = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
        try:
            wait_until_ready(server, port, check.deadline)
            took = time.monotonic() - began
            status = Path(f"/proc/{server.pid}/status").read_text()
            host_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
            return {"ready_s": round(took, 2), "device_mib": growth(before, device_mib()), "host_mib": host_kib // 1024}
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def look() -> Machine:
    """Looks around; loads nothing but the driver."""
    named = os.environ.get("CVTRT_RUNTIME_DIRS") or os.environ.get("CVTRT_RUNTIME_DIR") or ""
    folders = [Path(word).absolute() for word in named.split(":") if word] or [ROOT / "third_party"]
    libraries = {}
    for folder in folders:
        for name in libraries_in(folder):
            libraries.setdefault(name, Library(name, folder))
    packages = [name for name in PACKAGES if importlib.util.find_spec(name)]
    return Machine(no_driver(), folders, list(libraries.values()), packages)


def libraries_in(folder: Path) -> list[str]:
    """Names of the libraries that build in a run-time folder; of several majors of TensorRT cvtrt takes the newest."""
    def has(file: str) -> bool:
        return any((folder / inside / file).is_file() for inside in INSIDE)

    found = ["tensorrt-rtx"] if has("libtensorrt_rtx.so.1") else []
    for major in [11, 10, 8]:
        if has(f"libnvinfer.so.{major}") and has(f"libnvonnxparser.so.{major}"):
            return [*found, f"tensorrt-{major}"]
    return found


def no_driver() -> str:
    """Why there is no GPU to use; empty where there is one."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver"
    count, no_device = ctypes.c_int(), 100
    started = driver.cuInit(0)
    if started not in (0, no_device):
        return f"the NVIDIA driver does not start (error {started})"
    seen = started == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    return "" if seen else "the NVIDIA driver sees no GPU"


def device_mib() -> int | None:
    """Memory in use on all GPUs together; `None` where it cannot be read, as on parts of a GPU."""
    try:
        said = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True, timeout=30)
        lines = said.stdout.splitlines()
        return sum(int(line) for line in lines) if lines else None
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def growth(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def wait_until_ready(server: subprocess.Popen, port: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise OSError(f"the server ended with {server.returncode} before it was ready")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.02)
    raise OSError("the server was not ready in time")


def as_dict(machine: Machine) -> dict:
    """For the report."""
    return json.loads(json.dumps({
        "no_gpu": machine.no_gpu,
        "folders": machine.folders,
        "libraries": {library.name: library.folder for library in machine.libraries},
        "packages": machine.packages,
    }, default=str))
