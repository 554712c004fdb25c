// Our own, after MDN's description of the format.
function FindProxyForURL(url, host) {
  if (dnsDomainIs(host, ".okta.com") || host === "okta.com") return "DIRECT";
  return "PROXY 127.0.0.1:8080";
}
