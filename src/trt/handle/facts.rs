//! What the shim's declarations say about themselves.
#![expect(unsafe_code, reason = "calls the shim's test support")]

use super::status::text_from;
use std::ffi::{CStr, c_char};

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
        let [abi, interface, method, member_type] =
            [raw.abi, raw.interface, raw.method, raw.member_type].map(fact_text);
        facts.push(SlotFact {
            abi,
            interface,
            method,
            member_type,
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
        let [abi, enumeration, name] = [raw.abi, raw.enumeration, raw.name].map(fact_text);
        facts.push(ValueFact {
            abi,
            enumeration,
            name,
            value: raw.value,
        });
    }
    facts
}

/// The project's name of a layer type's number in one set of declarations.
pub(in crate::trt) fn layer_kind(abi: &CStr, number: i32) -> String {
    // SAFETY: takes any string and number, and returns a static string.
    fact_text(unsafe { cvtrt_layer_kind(abi.as_ptr(), number) })
}

fn fact_text(text: *const c_char) -> String {
    // SAFETY: only called in this file, with the static strings of the shim's tables.
    unsafe { text_from(text) }
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
    fn cvtrt_layer_kind(abi: *const c_char, number: i32) -> *const c_char;
}
