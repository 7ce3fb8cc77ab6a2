output "host" {
  description = "Where the site is."
  value       = "https://${local.host}"
}

output "database_address" {
  description = "The private address of the database."
  value       = google_sql_database_instance.this.private_ip_address
}

output "database_instance" {
  description = "The instance as /cloudsql and the Auth Proxy name it."
  value       = google_sql_database_instance.this.connection_name
}

output "media_bucket" {
  description = "The bucket of what users upload."
  value       = google_storage_bucket.media.name
}

output "static_bucket" {
  description = "The bucket of static files."
  value       = google_storage_bucket.static.name
}

output "trigger" {
  description = "What builds and deploys; `gcloud builds triggers run` starts it by hand."
  value       = google_cloudbuild_trigger.main.name
}
