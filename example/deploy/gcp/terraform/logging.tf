# Links for sharing, uploading, downloading and setting a password are as good as a password,
# and Cloud Run logs the address of each request: not of these.
resource "google_logging_project_exclusion" "links" {
  name        = "${var.name}-links"
  description = "Requests whose addresses have tokens in them."
  filter      = <<-EOT
    resource.type="cloud_run_revision"
    resource.labels.service_name="${var.name}"
    httpRequest.requestUrl=~"^https?://[^/]+/(s|accounts/set|files/uploads|api/v1/(links|uploads))/"
  EOT

  depends_on = [google_project_service.used]
}
