# Keep the state in a bucket of its own, with versions: `terraform init
# -backend-config=bucket=NAME`. It holds no password and no key, for those are made and
# written by the commands in the guide.
terraform {
  required_version = ">= 1.11"

  backend "gcs" {
    prefix = "store"
  }

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.0"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}
