# What cron does on one's own hosts: each starts a job of Cloud Run, which render.py defines.
resource "google_cloud_scheduler_job" "sweeps" {
  for_each = {
    uploads-sweep = "17 * * * *"
    objects-purge = "5 1 * * *"
    objects-sweep = "30 5 * * *"
    clearsessions = "45 5 * * 0"
  }
  name     = "${var.name}-${each.key}"
  region   = var.region
  schedule = each.value

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project}/locations/${var.region}/jobs/${var.name}-${each.key}:run"

    oauth_token {
      service_account_email = google_service_account.schedule.email
    }
  }

  retry_config {
    retry_count = 2
  }

  depends_on = [google_project_service.used]
}
