#!/bin/bash
# Gives the secrets that Terraform has made their values, and the database its user:
# secrets.sh [NAME], where Terraform was told another name than store. What has a value
# already keeps it. No value is in a command line, which all users of a machine see.
set -euo pipefail
name=${1:-store}

is_missing() {
    local versions
    versions=$(gcloud secrets versions list "$name-$1" --limit=1 --format="value(name)") || exit 1
    [ -z "$versions" ]
}

add() {
    gcloud secrets versions add "$name-$1" --data-file=-
}

for key in secret-key token-signing-key first-password; do
    if is_missing "$key"; then
        openssl rand -base64 48 | tr -d '\n' | add "$key"
    fi
done
if is_missing email-url; then
    read -rsp "Mail server, as smtp+tls://USER:PASSWORD@mail.example.org:587: " mail
    printf %s "$mail" | add email-url
fi
if is_missing database-password; then
    password=$(openssl rand -hex 32)
    gcloud sql users create "$name" --instance="$name" --flags-file=<(printf -- '--password: %s\n' "$password")
    printf %s "$password" | add database-password
fi
