//! The shim's declarations against tables taken from NVIDIA's headers.

use crate::trt::handle::{SlotFact, layer_kind, slot_facts, value_facts};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;

/// Extracted from compiler dumps of the public headers.
const HEADERS: &str = include_str!("../../../tests/data/abi/tensorrt.json");

#[derive(Deserialize)]
struct Headers {
    versions: BTreeMap<String, Vec<String>>,
    /// `abi interface method` → signature → version → slot.
    slots: BTreeMap<String, BTreeMap<String, BTreeMap<String, i32>>>,
    /// `abi enum enumerator` → value → versions.
    values: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

fn headers() -> Headers {
    serde_json::from_str(HEADERS).expect("the table is valid JSON")
}

#[test]
fn every_method_lies_in_the_slot_of_every_header() {
    let headers = headers();
    let facts = slot_facts();
    assert!(facts.len() > 200, "only {} methods declared", facts.len());
    for fact in &facts {
        let SlotFact {
            abi,
            interface,
            method,
            ..
        } = fact;
        let signatures = headers
            .slots
            .get(&format!("{abi} {interface} {method}"))
            .unwrap_or_else(|| panic!("no header has {abi} {interface}::{method}"));
        let slots = signatures.values().flatten();
        for (version, &slot) in slots {
            assert_eq!(fact.slot, slot, "{interface}::{method} in {version}");
        }
        let seen: BTreeSet<&String> = signatures.values().flat_map(BTreeMap::keys).collect();
        // Parser headers of some 10.x tags were not available; their neighbours on both sides agree.
        let all = &headers.versions[abi];
        assert!(
            seen.contains(&all[0]) && seen.contains(&all[all.len() - 1]),
            "{interface}::{method} is missing at an end of {abi}: {seen:?}"
        );
        assert!(
            interface.starts_with("IParser") || seen.len() == all.len(),
            "{interface}::{method} is missing in some of {abi}: {seen:?}"
        );
    }
}

#[test]
fn every_method_has_the_type_of_every_header() {
    let headers = headers();
    let mut compared = 0;
    for fact in slot_facts() {
        if fact.member_type.is_empty() {
            continue;
        }
        let key = format!("{} {} {}", fact.abi, fact.interface, fact.method);
        for signature in headers.slots[&key].keys() {
            assert_eq!(
                canonical_member(&fact.member_type),
                canonical_signature(signature, &fact.method),
                "{key}"
            );
            compared += 1;
        }
    }
    assert!(compared > 200, "only {compared} types compared");
}

#[test]
fn every_enumerator_has_the_value_of_every_header() {
    let headers = headers();
    let facts = value_facts();
    assert!(facts.len() > 60, "only {} enumerators", facts.len());
    for fact in facts {
        let key = format!("{} {} {}", fact.abi, fact.enumeration, fact.name);
        let values = headers
            .values
            .get(&key)
            .unwrap_or_else(|| panic!("no header has {key}"));
        let found: Vec<&String> = values.keys().collect();
        assert_eq!(found, [&fact.value.to_string()], "{key}");
    }
}

#[test]
fn every_layer_type_has_its_name() {
    let mut compared = 0;
    for (key, values) in &headers().values {
        let Some((abi, name)) = key.split_once(" LayerType k") else {
            continue;
        };
        for value in values.keys() {
            let number = value.parse().expect("values are integers");
            let kind = match (abi, name) {
                // They left before the shim's names begin.
                ("v8", "FULLY_CONNECTED" | "RNN_V2") => "unknown".to_owned(),
                _ => name.to_lowercase(),
            };
            let abi = CString::new(abi).expect("a name");
            assert_eq!(layer_kind(&abi, number), kind, "{abi:?} {number}");
            compared += 1;
        }
    }
    assert!(compared > 190, "only {compared} layer types compared");
    for number in [-1, 57, i32::MAX, i32::MIN] {
        assert_eq!(layer_kind(c"v10", number), "unknown", "{number}");
    }
}

/// `bool (cvtrt::v11::VBuilder::*)(int, char const*) noexcept const` → `bool(int,char const*)const`.
fn canonical_member(member: &str) -> String {
    let (result, rest) = member.split_once(" (").expect("a member type");
    let (_, rest) = rest.split_once("::*)(").expect("a member type");
    let (arguments, qualifiers) = rest.rsplit_once(')').expect("a member type");
    canonical(result, arguments, qualifiers.contains("const"))
}

/// `bool setThing(int32_t, const char *) const` → the same.
fn canonical_signature(signature: &str, method: &str) -> String {
    let at = signature.find(&format!("{method}(")).expect("its own name");
    let (result, rest) = signature.split_at(at);
    let (arguments, qualifiers) = rest[method.len() + 1..]
        .rsplit_once(')')
        .expect("a signature");
    canonical(result, arguments, qualifiers.contains("const"))
}

fn canonical(result: &str, arguments: &str, constant: bool) -> String {
    let arguments: Vec<String> = arguments
        .split(',')
        .filter(|argument| !argument.trim().is_empty())
        .map(canonical_type)
        .collect();
    let constant = if constant { "const" } else { "" };
    format!(
        "{}({}){constant}",
        canonical_type(result),
        arguments.join(",")
    )
}

/// Drops namespaces, resolves type aliases, and writes `const` first.
fn canonical_type(spelled: &str) -> String {
    let spaced = spelled.replace('*', " * ").replace('&', " & ");
    let mut words: Vec<&str> = spaced.split_whitespace().collect();
    let constant = words.contains(&"const");
    words.retain(|&word| word != "const");
    let joined = words.join(" ").replace("unsigned long", "size_t");
    let words: Vec<String> = joined
        .split_whitespace()
        .map(|word| {
            let name = word.rsplit("::").next().unwrap_or(word);
            match name {
                "int32_t" => "int",
                "int64_t" => "long",
                "AsciiChar" => "char",
                "NetworkDefinitionCreationFlags" | "TacticSources" => "unsigned int",
                "Dims32" | "Dims64" => "Dims",
                "cudaStream_t" => "CUstream_st *",
                "ILoggerV10" | "ILoggerV11" => "ILogger",
                other => other,
            }
            .to_owned()
        })
        .collect();
    let prefix = if constant { "const " } else { "" };
    format!("{prefix}{}", words.join(" "))
}
