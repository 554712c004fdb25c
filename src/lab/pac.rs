//! A PAC script as the proxy setting of a simulated workstation.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use crate::net::Destination;
use crate::pac::{PacDns, PacError, PacScript, url_for_pac};
use crate::policy::{PolicyStore, generate_pac};
use crate::simulation::{PacDirective, ProxyAutoConfig};

/// How many failures are kept.
const MAX_FAILURES: usize = 100;

/// A script that answers for a workstation's browser, with the names that it may look up.
///
/// Where the script fails, the way is `DIRECT`: so do browsers, unless they were told that the script is mandatory
/// (Chrome, `net/docs/proxy.md` and the policy `ProxyPacMandatory`; Firefox in `nsProtocolProxyService`). The failure is
/// kept for reports, because otherwise a broken script looks like one that bypasses everything.
pub struct PacProxy {
    script: PacScript,
    dns: Arc<dyn PacDns + Send + Sync>,
    failures: Mutex<Vec<PacFailure>>,
}

/// A question that the script did not answer.
#[derive(Clone, Debug)]
pub struct PacFailure {
    /// The URL as the script got it.
    pub url: String,
    /// Why there is no answer.
    pub error: PacError,
}

impl PacProxy {
    /// A script with whoever answers its look-ups, such as a lab's resolve overrides.
    #[must_use]
    pub fn new(script: PacScript, dns: Arc<dyn PacDns + Send + Sync>) -> Self {
        Self { script, dns, failures: Mutex::default() }
    }

    /// The script.
    #[must_use]
    pub fn script(&self) -> &PacScript {
        &self.script
    }

    /// The first failures, in order, at most 100.
    #[must_use]
    pub fn failures(&self) -> Vec<PacFailure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ProxyAutoConfig for PacProxy {
    fn find_proxy(&self, url: &Url, host: &str) -> Vec<PacDirective> {
        match self.script.find_proxy(url, host, &*self.dns) {
            Ok(ways) => PacDirective::parse_list(&ways),
            Err(error) => {
                let failure = PacFailure { url: url_for_pac(url), error };
                tracing::warn!(script = self.script.name(), "{failure}; going direct");
                let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
                if failures.len() < MAX_FAILURES {
                    failures.push(failure);
                }
                vec![PacDirective::Direct]
            }
        }
    }
}

impl fmt::Debug for PacProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacProxy").field("script", &self.script.name()).finish_non_exhaustive()
    }
}

impl fmt::Display for PacFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no way to {}: {}", self.url, self.error)
    }
}

/// The PAC file that a lab gives out: made from its policy, and made anew when the policy has changed, as a browser that
/// fetches it again would see.
pub(super) struct LabPac {
    policy: Arc<PolicyStore>,
    proxy: Destination,
    dns: Arc<dyn PacDns + Send + Sync>,
    made: Mutex<Option<(u64, Arc<PacProxy>)>>,
}

impl LabPac {
    pub(super) fn new(policy: Arc<PolicyStore>, proxy: Destination, dns: Arc<dyn PacDns + Send + Sync>) -> Self {
        Self { policy, proxy, dns, made: Mutex::default() }
    }

    /// The file for the policy in force.
    fn current(&self) -> Option<Arc<PacProxy>> {
        let policy = self.policy.current();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((epoch, proxy)) = &*made
            && *epoch == policy.epoch()
        {
            return Some(Arc::clone(proxy));
        }
        let text =
            generate_pac(&policy, &self.proxy).map_err(|error| tracing::warn!("no PAC file: {error}")).ok()?.text;
        let script = PacScript::compile("proxy.pac", &text)
            .map_err(|error| tracing::warn!("the PAC file does not run: {error}"))
            .ok()?;
        let proxy = Arc::new(PacProxy::new(script, Arc::clone(&self.dns)));
        *made = Some((policy.epoch(), Arc::clone(&proxy)));
        Some(proxy)
    }
}

impl ProxyAutoConfig for LabPac {
    fn find_proxy(&self, url: &Url, host: &str) -> Vec<PacDirective> {
        match self.current() {
            Some(proxy) => proxy.find_proxy(url, host),
            None => vec![PacDirective::Direct],
        }
    }
}

impl fmt::Debug for LabPac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabPac").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::{Destination, Host, Overrides};
    use crate::pac::PacLimits;
    use crate::policy::{Action, PolicyConfig, PolicyStore, RuleSpec, Sni, Subjects, generate_pac};

    fn proxy(text: &str) -> PacProxy {
        let mut names = Overrides::new();
        names.insert("a.example:443:10.1.2.3".parse().unwrap());
        PacProxy::new(PacScript::compile("proxy.pac", text).unwrap(), Arc::new(names))
    }

    fn ways(proxy: &PacProxy, url: &str) -> String {
        let url: Url = url.parse().unwrap();
        let ways = proxy.find_proxy(&url, url.host_str().unwrap());
        ways.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn answers_become_ways() {
        let proxy = proxy(
            "function FindProxyForURL(url, host) { return isInNet(host, '10.0.0.0', '255.0.0.0') ? 'DIRECT' : \
             'PROXY p.example:8080; SOCKS s.example:1080; DIRECT'; }",
        );
        assert_eq!(ways(&proxy, "https://a.example/"), "DIRECT");
        assert_eq!(ways(&proxy, "https://b.example/"), "PROXY p.example:8080; SOCKS s.example:1080; DIRECT");
        assert!(proxy.failures().is_empty());
    }

    #[test]
    fn a_script_that_fails_goes_direct_and_is_remembered() {
        let proxy = proxy("function FindProxyForURL(url, host) {\n  return host.no.such; }");
        assert_eq!(ways(&proxy, "https://a.example/secret?token"), "DIRECT");
        let failures: Vec<_> = proxy.failures().iter().map(ToString::to_string).collect();
        assert_eq!(
            failures,
            [
                "no way to https://a.example/: proxy.pac:2:10: uncaught TypeError: cannot read property 'such' of undefined"
            ]
        );
    }

    fn policy(default: Action, rules: Vec<RuleSpec>) -> PolicyStore {
        let config = PolicyConfig { default: Some(default), command_line: rules, ..PolicyConfig::default() };
        PolicyStore::new(config).unwrap()
    }

    fn at() -> Destination {
        Destination::parse("127.0.0.1:8080").unwrap()
    }

    /// Whether the generated script and the policy agree that a URL is bypassed.
    fn agree(store: &PolicyStore, script: &PacProxy, url: &str) -> Result<(), TestCaseError> {
        let parsed: Url = url.parse().map_err(|error| TestCaseError::reject(format!("{error}")))?;
        let host = parsed.host_str().unwrap_or_default();
        let asked = store.decide(&Subjects {
            connect_host: Some(host),
            port: parsed.port_or_known_default().unwrap_or_default(),
            sni: Sni::Absent,
            address: None,
            certificate: None,
            client: None,
        });
        let bypassed = asked.decision().map(|decision| decision.action) == Some(Action::Bypass);
        let expected = if bypassed { "DIRECT" } else { "PROXY 127.0.0.1:8080" };
        prop_assert_eq!(ways(script, url), expected, "{}\n{}", url, script.script().text());
        prop_assert!(script.failures().is_empty());
        Ok(())
    }

    fn labels() -> impl Strategy<Value = String> {
        let label = prop::sample::select(vec!["a", "b", "okta", "com", "xn--bcher-kva", "x-y", "x_y", "1"]);
        prop::collection::vec(label, 1..4).prop_map(|labels| labels.join("."))
    }

    fn hosts() -> impl Strategy<Value = String> {
        let v4 = (prop::sample::select(vec![10u8, 11, 192]), 0..3u8, 0..3u8, any::<u8>());
        let words = prop::array::uniform8(prop::sample::select(vec![0u16, 1, 0x2001, 0xdb8, 0xffff]));
        prop_oneof![
            4 => (labels(), prop::bool::ANY).prop_map(|(name, upper)| if upper { name.to_uppercase() } else { name }),
            1 => labels().prop_map(|name| format!("{name}.com.")),
            1 => v4.prop_map(|(a, b, c, d)| format!("{a}.{b}.{c}.{d}")),
            1 => words.prop_map(|words| format!("[{}]", std::net::Ipv6Addr::from(words))),
            1 => (10u8..12, any::<u8>()).prop_map(|(a, d)| format!("[::ffff:{a}.0.0.{d}]")),
        ]
    }

    fn rules() -> impl Strategy<Value = RuleSpec> {
        let pattern = prop_oneof![
            3 => labels(),
            3 => labels().prop_map(|name| format!("*.{name}")),
            3 => labels().prop_map(|name| format!(".{name}")),
            1 => labels().prop_map(|name| format!("{name}:8443")),
            1 => Just("*".to_owned()),
            2 => prop::sample::select(vec!["10.0.0.0/8", "10.1.0.0/16", "192.0.0.0/7", "11.0.1.0/25", "10.0.0.1:443"])
                .prop_map(str::to_owned),
            2 => prop::sample::select(vec!["2001:db8::/32", "2001::/17", "[::ffff]:443", "::/1", "1::/96"])
                .prop_map(str::to_owned),
        ];
        let action = prop::sample::select(vec![Action::Bypass, Action::Inspect, Action::Block]);
        let ports = prop::sample::select(vec!["", "", "", "443", "8000-8999"]);
        (pattern, action, ports, prop::bool::weighted(0.9)).prop_map(|(pattern, action, ports, enabled)| {
            let ports = ports.parse().into_iter().collect();
            RuleSpec { enabled, ports, ..RuleSpec::new(pattern, action) }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_generated_script_agrees_with_the_policy(
            rules in prop::collection::vec(rules(), 0..8),
            default in prop::sample::select(vec![Action::Bypass, Action::Inspect, Action::Block]),
            hosts in prop::collection::vec((hosts(), prop::sample::select(vec!["", ":8443", ":80"])), 1..12),
        ) {
            let native = crate::policy::Dialect::MIDDLEBOX;
            let rules = rules.into_iter().filter(|rule| native.parse(&rule.pattern).is_ok()).collect();
            let store = policy(default, rules);
            let generated = generate_pac(&store.current(), &at()).unwrap();
            prop_assert!(generated.left_out.is_empty());
            let limits = PacLimits { time: std::time::Duration::from_secs(60), ..PacLimits::default() };
            let script = PacScript::compile("proxy.pac", &generated.text).unwrap().with_limits(limits);
            let script = PacProxy::new(script, Arc::new(Overrides::new()));
            for (host, port) in hosts {
                let is_loopback = Host::parse(&host).is_ok_and(|host| host.ip().is_some_and(|ip| ip.is_loopback()));
                if !is_loopback {
                    agree(&store, &script, &format!("https://{host}{port}/"))?;
                }
            }
        }
    }

    #[test]
    fn this_machine_is_always_direct() {
        let store = policy(Action::Block, vec![RuleSpec::new("*", Action::Block)]);
        let script = proxy(&generate_pac(&store.current(), &at()).unwrap().text);
        for host in ["localhost", "LocalHost.", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"]
        {
            assert_eq!(ways(&script, &format!("http://{host}:8769/")), "DIRECT", "{host}");
        }
        for host in ["notlocalhost", "localhost.example", "127.0.0.1.example", "[::2]", "128.0.0.1"] {
            assert_eq!(ways(&script, &format!("http://{host}/")), "PROXY 127.0.0.1:8080", "{host}");
        }
    }

    #[test]
    fn client_conditions_are_left_out_on_the_safe_side() {
        let for_some = |pattern: &str, action| {
            let clients = vec!["192.0.2.0/24".parse().unwrap()];
            RuleSpec { clients, ..RuleSpec::new(pattern, action) }
        };
        let rules = vec![
            for_some("raw.okta.com", Action::Inspect),
            for_some("b.example", Action::Bypass),
            RuleSpec::new(".okta.com", Action::Bypass),
        ];
        let store = policy(Action::Inspect, rules);
        let generated = generate_pac(&store.current(), &at()).unwrap();
        let said: Vec<_> = generated.left_out.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "For every client: r1, inspect raw.okta.com: a script does not know which client addresses the proxy \
                 sees.",
                "Left out: r2, bypass b.example: a script does not know which client addresses the proxy sees.",
            ]
        );
        let script = proxy(&generated.text);
        assert_eq!(ways(&script, "https://raw.okta.com/"), "PROXY 127.0.0.1:8080");
        assert_eq!(ways(&script, "https://b.example/"), "PROXY 127.0.0.1:8080");
        assert_eq!(ways(&script, "https://acme.okta.com/"), "DIRECT");
    }

    #[test]
    fn the_script_as_people_read_it() {
        let mut web = RuleSpec::new("*.web.example", Action::Bypass);
        web.ports = vec!["443".parse().unwrap(), "8000-8999".parse().unwrap()];
        let rules = vec![
            RuleSpec::new("raw.okta.com", Action::Inspect),
            RuleSpec::new(".okta.com", Action::Bypass),
            RuleSpec::new("bücher.example:8443", Action::Block),
            RuleSpec::new("10.0.0.0/8", Action::Bypass),
            RuleSpec::new("2001:db8::/32", Action::Bypass),
            web,
        ];
        let store = policy(Action::Inspect, rules);
        let text = generate_pac(&store.current(), &at()).unwrap().text;
        let (start, _) = text.split_once("\nfunction endsWith").unwrap();
        insta::assert_snapshot!(start);
    }
}
