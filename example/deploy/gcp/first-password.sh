#!/bin/bash
# Prints the first administrator's password, and destroys what Secret Manager has of it:
# first-password.sh [NAME], where Terraform was told another name than store.
set -euo pipefail
secret=${1:-store}-first-password
gcloud secrets versions access latest --secret="$secret"
echo
gcloud secrets versions destroy 1 --secret="$secret" --quiet
