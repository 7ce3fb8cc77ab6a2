# Static files: anybody may read them, by names that follow from their content.
resource "google_storage_bucket" "static" {
  name                        = "${var.project}-${var.name}-static"
  location                    = var.region
  uniform_bucket_level_access = true
  force_destroy               = true

  cors {
    origin          = ["https://${local.host}", "https://${local.given_host}"]
    method          = ["GET", "HEAD"]
    response_header = ["Content-Type"]
    max_age_seconds = 3600
  }
}

resource "google_storage_bucket_iam_member" "static_is_public" {
  bucket = google_storage_bucket.static.name
  role   = "roles/storage.objectViewer"
  member = "allUsers"
}

# What users upload: nobody reads it but by URLs that the service signs.
resource "google_storage_bucket" "media" {
  name                        = "${var.project}-${var.name}-media"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.is_protected

  # What was deleted by mistake can be had again; so can what somebody asked to be erased.
  soft_delete_policy {
    retention_duration_seconds = var.deleted_days * 86400
  }

  # Browsers send large files past the service, and learn what became of them.
  cors {
    origin          = ["https://${local.host}", "https://${local.given_host}"]
    method          = ["GET", "HEAD", "PUT"]
    response_header = ["Content-Type", "Content-Range", "ETag", "Range", "x-goog-content-length-range", "x-goog-if-generation-match"]
    max_age_seconds = 3600
  }

  dynamic "lifecycle_rule" {
    for_each = var.export_days > 0 ? [var.export_days] : []
    content {
      condition {
        age            = lifecycle_rule.value
        matches_prefix = ["exports/"]
      }
      action {
        type = "Delete"
      }
    }
  }

  # Parts of uploads by S3's protocol; those of Google's own end after a week anyway.
  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }
}
