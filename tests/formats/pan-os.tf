resource "panos_ssl_decrypt" "this" {
  forward_trust_certificate_rsa = "forward-trust"

  ssl_decrypt_exclude_certificate {
    name        = "*.okta.com"
    description = "Okta Verify"
    exclude     = true
  }
  ssl_decrypt_exclude_certificate {
    name    = "kdc.uas.aol.com"
    exclude = false
  }
}
