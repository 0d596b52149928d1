//! Recordings that clients send.

use crate::place::{BUNDLE, Served, cvtrt};
use cvtrt::ids::BackendId;
use cvtrt::testkit::backend_or_skip;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const RECORDING: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/goldens/frontend/a_24k.wav"
);

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// The content of an answer to a form with texts and the recording.
fn send(served: &Served, path: &str, texts: &[(&str, &str)], file: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in texts {
        let part =
            format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.bytes());
    }
    let head = format!(
        "--b\r\ncontent-disposition: form-data; name=\"{file}\"; filename=\"a.wav\"\r\n\r\n"
    );
    body.extend(head.bytes());
    body.extend(fs::read(RECORDING).expect("the recording"));
    body.extend(b"\r\n--b--\r\n");
    let mut answer = ureq::post(format!("{}{path}", served.url))
        .header("content-type", "multipart/form-data; boundary=b")
        .send(&body[..])
        .expect("answered");
    answer.body_mut().read_to_vec().expect("read")
}

#[test]
fn a_recording_speaks_the_same_sent_along_kept_by_the_server_and_kept_by_the_command() {
    let Some(_) = backend_or_skip(BackendId::OrtCpu, "serve hears recordings") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = folder.path().join("bundle");
    copy(Path::new(BUNDLE), &bundle);
    let words = "A tone that says little.";
    let added = cvtrt(folder.path())
        .args([
            "voices",
            "add",
            "before",
            "--threads",
            "1",
            "--wav",
            RECORDING,
            "--text",
            words,
        ])
        .arg("--bundle")
        .arg(&bundle)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&added.stderr);
    assert!(added.status.success(), "{said}");

    let served = Served::start_with(folder.path(), &bundle, &[]);
    let texts = [
        ("tts_text", "Good morning."),
        ("prompt_text", words),
        ("seed", "4"),
    ];
    let along = send(&served, "/inference_zero_shot", &texts, "prompt_wav");
    assert!(along.len() > 1000);
    let kept = send(
        &served,
        "/v1/audio/voices",
        &[("name", "meanwhile"), ("transcript", words)],
        "file",
    );
    let kept: Value = serde_json::from_slice(&kept).expect("JSON");
    assert_eq!(kept["name"], "meanwhile");
    for voice in ["before", "meanwhile"] {
        let wish =
            json!({ "input": "Good morning.", "voice": voice, "mode": "zero_shot", "seed": 4 });
        assert!(served.spoken(&wish) == along, "{voice}");
    }

    let gone = ureq::delete(format!("{}/v1/audio/voices/meanwhile", served.url)).call();
    assert_eq!(gone.expect("deleted").status().as_u16(), 200);
    let listed = cvtrt(folder.path())
        .args(["voices", "list", "--json", "--bundle"])
        .arg(&bundle)
        .output()
        .expect("runs");
    let listed = String::from_utf8_lossy(&listed.stdout);
    assert!(
        listed.contains("before") && !listed.contains("meanwhile"),
        "{listed}"
    );
}
