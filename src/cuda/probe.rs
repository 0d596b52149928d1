//! Looks for a driver and its devices without disturbing either.
#![expect(
    unsafe_code,
    reason = "asking for the driver library is an unsafe call in cudarc"
)]

use crate::profile::ComputeCapability;
use cudarc::driver::sys::CUdevice_attribute;
use cudarc::driver::{DriverError, result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A working driver.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Driver {
    /// CUDA version the driver supports, `major * 1000 + minor * 10`.
    pub cuda_version: i32,
    /// Devices, by ordinal; never empty.
    pub devices: Vec<Device>,
}

impl Driver {
    /// A device by its ordinal after `CUDA_VISIBLE_DEVICES`.
    ///
    /// # Errors
    /// [`NoCuda::NoSuchDevice`].
    pub fn device(&self, ordinal: u32) -> Result<&Device, NoCuda> {
        let found = self.devices.len();
        let at = usize::try_from(ordinal).unwrap_or(usize::MAX);
        self.devices
            .get(at)
            .ok_or(NoCuda::NoSuchDevice { ordinal, found })
    }
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Device {
    /// Ordinal, after `CUDA_VISIBLE_DEVICES`.
    pub ordinal: usize,
    /// Product name.
    pub name: String,
    /// GPU generation.
    pub capability: ComputeCapability,
    /// Total memory, in bytes.
    pub memory_bytes: u64,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
}

/// Why there is no CUDA here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoCuda {
    /// The driver library is not installed.
    #[error("no NVIDIA driver (libcuda.so.1 was not found)")]
    NoDriver,
    /// The driver is there and sees no device.
    #[error("the NVIDIA driver reports no device")]
    NoDevice,
    /// There are fewer devices.
    #[error("there is no device {ordinal}: the NVIDIA driver reports {found}")]
    NoSuchDevice {
        /// Asked for.
        ordinal: u32,
        /// How many there are.
        found: usize,
    },
    /// The driver failed.
    #[error("the NVIDIA driver failed: {0}")]
    Broken(String),
}

/// Looks for a driver and its devices. Cheap, and never panics.
///
/// # Errors
/// [`NoCuda`].
pub fn probe() -> Result<Driver, NoCuda> {
    // SAFETY: only opens the library; cudarc requires the call before any other and nothing of ours holds its symbols.
    if !unsafe { cudarc::driver::sys::is_culib_present() } {
        return Err(NoCuda::NoDriver);
    }
    // A driver that lacks a symbol makes cudarc panic.
    catch_unwind(AssertUnwindSafe(probe_driver))
        .unwrap_or_else(|_| Err(NoCuda::Broken("it lacks a symbol cvtrt needs".to_owned())))
}

fn probe_driver() -> Result<Driver, NoCuda> {
    let broken = |error: DriverError| NoCuda::Broken(error.to_string());
    if let Err(error) = result::init() {
        return Err(match error.0 {
            cudarc::driver::sys::CUresult::CUDA_ERROR_NO_DEVICE => NoCuda::NoDevice,
            _ => broken(error),
        });
    }
    let count = result::device::get_count().map_err(broken)?;
    let devices = (0..count)
        .map(probe_device)
        .collect::<Result<Vec<_>, _>>()
        .map_err(broken)?;
    if devices.is_empty() {
        return Err(NoCuda::NoDevice);
    }
    let cuda_version = driver_version().map_err(broken)?;
    Ok(Driver {
        cuda_version,
        devices,
    })
}

/// Reads what the driver knows of a device; makes no context, which would take memory on it.
fn probe_device(ordinal: i32) -> Result<Device, DriverError> {
    let device = result::device::get(ordinal)?;
    let attribute = |which| {
        // SAFETY: `device` is a handle the driver gave above.
        let value = unsafe { result::device::get_attribute(device, which) }?;
        Ok::<u32, DriverError>(u32::try_from(value).unwrap_or(0))
    };
    // SAFETY: `device` is a handle the driver gave above.
    let memory = unsafe { result::device::total_mem(device) }?;
    Ok(Device {
        ordinal: usize::try_from(ordinal).expect("ordinals count from zero"),
        name: result::device::get_name(device)?,
        capability: ComputeCapability {
            major: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            minor: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        },
        memory_bytes: memory as u64,
        multiprocessors: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
    })
}

fn driver_version() -> Result<i32, DriverError> {
    let mut version = 0;
    // SAFETY: the driver writes one integer through the pointer, which outlives the call.
    unsafe { cudarc::driver::sys::cuDriverGetVersion(&raw mut version) }.result()?;
    Ok(version)
}
