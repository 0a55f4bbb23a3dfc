# Applies a bundle whenever its file changes. Needs no provider but the one that is part of Terraform.
terraform {
  required_version = ">= 1.4"
}

variable "server" {
  description = "Where Penstock is. An API key is read from the environment, from PENSTOCK_KEY"
  type        = string
  default     = "http://127.0.0.1:5115"
}

variable "bundle" {
  description = "The bundle"
  type        = string
  default     = "../overheating.yaml"
}

variable "penstock" {
  description = "The command that runs Penstock's program"
  type        = string
  default     = "penstock"
}

resource "terraform_data" "bundle" {
  # A value that is different has the commands run again.
  triggers_replace = {
    server = var.server
    bundle = filesha256(var.bundle)
  }

  provisioner "local-exec" {
    command = "${var.penstock} plan -f \"$BUNDLE\" && ${var.penstock} apply -f \"$BUNDLE\""
    environment = {
      PENSTOCK_SERVER = var.server
      BUNDLE          = abspath(var.bundle)
    }
  }
}
