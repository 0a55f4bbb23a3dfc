# One Terraform resource for each object, with a provider for any REST API.
terraform {
  required_version = ">= 1.4"
  required_providers {
    restapi = { source = "Mastercard/restapi" }
  }
}

variable "server" {
  description = "Where Penstock is"
  type        = string
  default     = "http://127.0.0.1:5115"
}

variable "key" {
  description = "An API key of an operator, from TF_VAR_key"
  type        = string
  default     = null
  sensitive   = true
}

variable "broker" {
  description = "The broker of the plant"
  type        = string
  default     = "mqtt://localhost:1883"
}

variable "limit" {
  description = "Readings above this are alerts, in degrees Celsius"
  type        = number
  default     = 90
}

provider "restapi" {
  uri                  = var.server
  bearer_token         = var.key
  write_returns_object = true
}

locals {
  api = "/api/v1"
  # What Penstock adds. With ignore_server_additions the provider does not see changes made elsewhere.
  added = [
    "id", "created_at", "description", "labels", "affected_pipelines",
    "connection_profile", "table_type", "consumers",
    "udfs", "checkpoint_interval_micros", "stop", "action", "action_text", "action_in_progress", "graph", "preview",
    "state_url", "tags",
  ]
  schema = {
    format   = { type = "json" }
    bad_data = { behavior = "drop" }
    fields = [
      { name = "device", type = "string", required = true },
      { name = "celsius", type = "float64", required = true },
    ]
  }
}

resource "restapi_object" "plant" {
  path = "${local.api}/connection_profiles"
  data = jsonencode({
    name      = "tf-plant"
    connector = "mqtt"
    # Penstock reads the variable from its own environment, so no plan and no state has the password.
    config = { url = var.broker, username = "penstock", password = "{{ PENSTOCK_VAR_PLANT_PASSWORD }}" }
  })
  # Penstock shows a mask instead of the password.
  ignore_changes_to = concat(local.added, ["config.password"])
}

resource "restapi_object" "readings" {
  path = "${local.api}/connection_tables"
  data = jsonencode({
    name                  = "tf_readings"
    connector             = "mqtt"
    connection_profile_id = restapi_object.plant.id
    config                = { topic = "tf/+/readings", qos = "AtLeastOnce", type = {} }
    schema                = local.schema
  })
  ignore_changes_to = local.added
}

resource "restapi_object" "alerts" {
  path = "${local.api}/connection_tables"
  data = jsonencode({
    name                  = "tf_alerts"
    connector             = "mqtt"
    connection_profile_id = restapi_object.plant.id
    config                = { topic = "tf/alerts", qos = "AtLeastOnce", type = { retain = false } }
    schema                = local.schema
  })
  ignore_changes_to = local.added
}

resource "restapi_object" "overheating" {
  path = "${local.api}/pipelines"
  data = jsonencode({
    name        = "tf-overheating"
    parallelism = 1
    query       = "INSERT INTO tf_alerts SELECT device, celsius FROM tf_readings WHERE celsius > ${var.limit}"
  })
  ignore_changes_to = local.added
  # The query names them, and Terraform does not see that.
  depends_on = [restapi_object.readings, restapi_object.alerts]
}

# Stops the pipeline before it is deleted, and waits until it has drained. Reads an API key from PENSTOCK_KEY.
resource "terraform_data" "drain" {
  input = "${var.server}${local.api}/pipelines/${restapi_object.overheating.id}"

  provisioner "local-exec" {
    when    = destroy
    command = <<-EOT
      ask() { curl -sS --fail -H "authorization: Bearer $${PENSTOCK_KEY:-none}" "$@"; }
      ask -X PATCH -H 'content-type: application/json' -d '{"stop": "graceful"}' -o /dev/null ${self.input}
      for second in $(seq 60); do
        ask ${self.input}/jobs | grep -q '"state":"\(Stopped\|Failed\|Finished\)"' && exit 0
        sleep 1
      done
      echo 'The pipeline has not stopped within a minute' >&2
      exit 1
    EOT
  }
}
