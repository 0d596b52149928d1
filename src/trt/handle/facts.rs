//! What the shim's declarations say about themselves.
#![expect(unsafe_code, reason = "calls the shim's test support")]

use super::status::text_from;
use std::ffi::c_char;

/// Where one declared method lies in its table.
#[derive(Debug)]
pub(in crate::trt) struct SlotFact {
    pub(in crate::trt) abi: String,
    pub(in crate::trt) interface: String,
    pub(in crate::trt) method: String,
    /// The member's C++ type as the demangler prints it; empty for destructors.
    pub(in crate::trt) member_type: String,
    pub(in crate::trt) slot: i32,
}

/// The number of one declared enumerator.
#[derive(Debug)]
pub(in crate::trt) struct ValueFact {
    pub(in crate::trt) abi: String,
    pub(in crate::trt) enumeration: String,
    pub(in crate::trt) name: String,
    pub(in crate::trt) value: i32,
}

/// Every declared method.
pub(in crate::trt) fn slot_facts() -> Vec<SlotFact> {
    let mut facts = Vec::new();
    let mut raw = RawSlotFact::default();
    // SAFETY: the out-parameter is valid and the strings it receives are static.
    while unsafe { cvtrt_slot_fact_at(index(&facts), &raw mut raw) } != 0 {
        facts.push(SlotFact {
            abi: text_from(&raw.abi),
            interface: text_from(&raw.interface),
            method: text_from(&raw.method),
            member_type: text_from(&raw.member_type),
            slot: raw.slot,
        });
    }
    facts
}

/// Every declared enumerator.
pub(in crate::trt) fn value_facts() -> Vec<ValueFact> {
    let mut facts = Vec::new();
    let mut raw = RawValueFact::default();
    // SAFETY: the out-parameter is valid and the strings it receives are static.
    while unsafe { cvtrt_value_fact_at(index(&facts), &raw mut raw) } != 0 {
        facts.push(ValueFact {
            abi: text_from(&raw.abi),
            enumeration: text_from(&raw.enumeration),
            name: text_from(&raw.name),
            value: raw.value,
        });
    }
    facts
}

/// The project's name of a layer type's number.
pub(in crate::trt) fn layer_kind(number: i32) -> String {
    // SAFETY: takes any number and returns a static string.
    let name = unsafe { cvtrt_layer_kind(number) };
    text_from(&name)
}

fn index<T>(facts: &[T]) -> i32 {
    i32::try_from(facts.len()).expect("few")
}

#[repr(C)]
struct RawSlotFact {
    abi: *const c_char,
    interface: *const c_char,
    method: *const c_char,
    member_type: *const c_char,
    slot: i32,
}

impl Default for RawSlotFact {
    fn default() -> Self {
        Self {
            abi: std::ptr::null(),
            interface: std::ptr::null(),
            method: std::ptr::null(),
            member_type: std::ptr::null(),
            slot: 0,
        }
    }
}

#[repr(C)]
struct RawValueFact {
    abi: *const c_char,
    enumeration: *const c_char,
    name: *const c_char,
    value: i32,
}

impl Default for RawValueFact {
    fn default() -> Self {
        Self {
            abi: std::ptr::null(),
            enumeration: std::ptr::null(),
            name: std::ptr::null(),
            value: 0,
        }
    }
}

unsafe extern "C" {
    fn cvtrt_slot_fact_at(index: i32, out: *mut RawSlotFact) -> i32;
    fn cvtrt_value_fact_at(index: i32, out: *mut RawValueFact) -> i32;
    fn cvtrt_layer_kind(number: i32) -> *const c_char;
}
