# A category and the rule for it, as the provider's documentation lays them out; the values are ours.
locals {
  more = [".oktapreview.com"]
}

resource "zia_url_categories" "okta" {
  super_category  = "USER_DEFINED"
  configured_name = "Okta bypass"
  custom_category = true
  type            = "URL_CATEGORY"
  urls            = concat([".okta.com"], local.more, var.extra)
}

resource "zia_ssl_inspection_rules" "okta" {
  name           = "Okta bypass"
  order          = 1
  rank           = 7
  state          = "ENABLED"
  url_categories = [zia_url_categories.okta.id, "CORPORATE_MARKETING"]
  action {
    type = "DO_NOT_DECRYPT"
    do_not_decrypt_sub_actions {
      bypass_other_policies = true
    }
  }
}

resource "zia_location_management" "office" {
  name = "Head office"
}
