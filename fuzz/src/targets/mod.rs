//! What the targets check: nothing that is read brings a reader down, how bytes are cut makes no difference, and what
//! is sent on or written is read by others as it was read here.
//!
//! `tests/fuzz.rs` calls the same functions on the seeds and on every input that was found, without a fuzzer.

mod certificates;
mod doors;
mod formats;
mod http;
mod texts;

/// What a target does with an input.
type Check = fn(&[u8]);

/// Each target by its name.
pub(crate) const TARGETS: &[(&str, Check)] = &[
    ("ca_files", certificates::ca_files),
    ("certificate", certificates::certificate),
    ("client_bytes", doors::client),
    ("client_hello", doors::client_hello),
    ("destinations", texts::destinations),
    ("format_chrome_bypass", |bytes| formats::format("chrome-bypass", bytes)),
    ("format_cloudflare_json", |bytes| formats::format("cloudflare-json", bytes)),
    ("format_detected", formats::detected),
    ("format_edl", |bytes| formats::format("edl", bytes)),
    ("format_fortigate", |bytes| formats::format("fortigate", bytes)),
    ("format_list", |bytes| formats::format("list", bytes)),
    ("format_mitmproxy_arguments", |bytes| formats::format("mitmproxy-arguments", bytes)),
    ("format_mitmproxy_yaml", |bytes| formats::format("mitmproxy-yaml", bytes)),
    ("format_netskope_csv", |bytes| formats::format("netskope-csv", bytes)),
    ("format_netskope_json", |bytes| formats::format("netskope-json", bytes)),
    ("format_no_proxy", |bytes| formats::format("no-proxy", bytes)),
    ("format_pac", |bytes| formats::format("pac", bytes)),
    ("format_pan_os_set", |bytes| formats::format("pan-os-set", bytes)),
    ("format_pan_os_xml", |bytes| formats::format("pan-os-xml", bytes)),
    ("format_policy_toml", |bytes| formats::format("policy-toml", bytes)),
    ("format_squid", |bytes| formats::format("squid", bytes)),
    ("format_terraform", |bytes| formats::format("terraform", bytes)),
    ("format_zscaler_json", |bytes| formats::format("zscaler-json", bytes)),
    ("http_answers", http::answers),
    ("http_requests", http::requests),
    ("pac_script", texts::pac_script),
    ("parent_answer", doors::parent),
    ("patterns", formats::patterns),
    ("product", texts::product),
    ("profile", texts::profile),
    ("scenario", texts::scenario),
    ("traffic", texts::traffic),
    ("websocket", doors::websocket),
];

/// As much of the bytes as is text.
fn text(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}
