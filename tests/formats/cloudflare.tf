resource "cloudflare_zero_trust_list" "pinned" {
  account_id = var.account
  name       = "Pinned"
  type       = "DOMAIN"
  items      = ["okta.com", "dropbox.com"]
}

resource "cloudflare_zero_trust_gateway_policy" "pinned" {
  account_id  = var.account
  name        = "Pinned"
  precedence  = 1
  action      = "off"
  filters     = ["http"]
  enabled     = true
  traffic     = "any(http.conn.domains[*] in {\"okta.com\"})"
}
