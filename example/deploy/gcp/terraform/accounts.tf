# Each does what it must, on that which it is for, and nothing in the whole project but
# what can't be given otherwise.

# The service, its worker and the sweeps.
resource "google_service_account" "run" {
  account_id   = "${var.name}-run"
  display_name = "The service ${var.name}, its worker and its sweeps"
}

# The jobs that prepare a release, and commands by hand: migrate, collectstatic, manage.
resource "google_service_account" "deploy" {
  account_id   = "${var.name}-deploy"
  display_name = "Prepares releases of ${var.name}, and runs commands by hand"
}

# Whoever takes over the service can't change what visitors' browsers run.
resource "google_storage_bucket_iam_member" "run_reads_static" {
  bucket = google_storage_bucket.static.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.run.member
}

resource "google_storage_bucket_iam_member" "deploy_writes_static" {
  bucket = google_storage_bucket.static.name
  role   = "roles/storage.objectUser"
  member = google_service_account.deploy.member
}

# By hand, objects are swept, restored and checked too.
resource "google_storage_bucket_iam_member" "media" {
  for_each = {
    run    = google_service_account.run.member
    deploy = google_service_account.deploy.member
  }
  bucket = google_storage_bucket.media.name
  role   = "roles/storage.objectUser"
  member = each.value
}

# It signs URLs without a key: IAM signs for it.
resource "google_service_account_iam_member" "run_signs" {
  service_account_id = google_service_account.run.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.run.member
}

# All but the first administrator's password, which one command by hand reads.
resource "google_secret_manager_secret_iam_member" "run_reads" {
  for_each  = setsubtract(local.secrets, ["first-password"])
  secret_id = google_secret_manager_secret.this[each.value].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.run.member
}

resource "google_secret_manager_secret_iam_member" "deploy_reads" {
  for_each  = local.secrets
  secret_id = google_secret_manager_secret.this[each.value].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.deploy.member
}

# Cloud SQL at its socket asks for this; by its private address nothing does.
resource "google_project_iam_member" "database" {
  for_each = var.database_by_socket ? {
    run    = google_service_account.run.member
    deploy = google_service_account.deploy.member
  } : {}
  project = var.project
  role    = "roles/cloudsql.client"
  member  = each.value
}

# What builds and deploys.
resource "google_service_account" "build" {
  account_id   = "${var.name}-build"
  display_name = "Builds and deploys ${var.name}"
}

resource "google_artifact_registry_repository_iam_member" "build" {
  repository = google_artifact_registry_repository.images.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

resource "google_project_iam_member" "build" {
  for_each = toset(["roles/run.developer", "roles/logging.logWriter"])
  project  = var.project
  role     = each.value
  member   = google_service_account.build.member
}

# The annotation by which everybody may ask takes one permission more than a developer has.
resource "google_project_iam_custom_role" "public_service" {
  role_id     = "${replace(var.name, "-", "_")}_public_service"
  title       = "Lets a service of Cloud Run be asked by everybody"
  permissions = ["run.services.setIamPolicy"]
}

resource "google_project_iam_member" "build_public" {
  project = var.project
  role    = google_project_iam_custom_role.public_service.id
  member  = google_service_account.build.member
}

resource "google_service_account_iam_member" "build_uses" {
  for_each = {
    run    = google_service_account.run.name
    deploy = google_service_account.deploy.name
  }
  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.build.member
}

# What starts the sweeps: it may start jobs, and do nothing else. Conditions on the names
# of jobs are no way: Cloud Run does not tell IAM the names of its resources.
resource "google_service_account" "schedule" {
  account_id   = "${var.name}-schedule"
  display_name = "Starts the sweeps of ${var.name}"
}

resource "google_project_iam_custom_role" "start_jobs" {
  role_id     = "${replace(var.name, "-", "_")}_start_jobs"
  title       = "Starts jobs of Cloud Run"
  permissions = ["run.jobs.run"]
}

resource "google_project_iam_member" "schedule" {
  project = var.project
  role    = google_project_iam_custom_role.start_jobs.id
  member  = google_service_account.schedule.member
}

# What had other names before: made anew and deleted, the same right could be lost.
moved {
  from = google_storage_bucket_iam_member.run["media"]
  to   = google_storage_bucket_iam_member.media["run"]
}

moved {
  from = google_project_iam_member.run_database[0]
  to   = google_project_iam_member.database["run"]
}

moved {
  from = google_service_account_iam_member.build_uses_run
  to   = google_service_account_iam_member.build_uses["run"]
}
