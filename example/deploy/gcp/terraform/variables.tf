variable "project" {
  description = "The id of the project in which everything is made."
  type        = string
}

variable "region" {
  description = "The region of the service, the database and the buckets."
  type        = string
  default     = "europe-west3"
}

variable "name" {
  description = "The service's name, with which the names of all else begin."
  type        = string
  default     = "store"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.name))
    error_message = "Two to 20 small letters, digits and hyphens, a letter first and no hyphen last."
  }
}

variable "host" {
  description = "The name by which visitors reach the site, such as files.example.org. Empty: the one that Cloud Run gives."
  type        = string
  default     = ""
}

variable "github_owner" {
  description = "Whose GitHub repository is built; it must be connected to Cloud Build, as one of the 1st generation."
  type        = string
}

variable "github_repository" {
  description = "The name of the GitHub repository that is built."
  type        = string
}

variable "branch" {
  description = "The branch whose pushes are deployed."
  type        = string
  default     = "main"
}

variable "database_tier" {
  description = "The machine of Cloud SQL."
  type        = string
  default     = "db-custom-1-3840"
}

variable "database_is_regional" {
  description = "Whether the database has a standby in another zone."
  type        = bool
  default     = false
}

variable "export_days" {
  description = "Days after which the bucket deletes an export, pinned or not. 0: the site alone deletes them, which keeps pinned ones and the latest of each event."
  type        = number
  default     = 0
}

variable "is_protected" {
  description = "Whether `terraform destroy` must leave the database and the media bucket."
  type        = bool
  default     = true
}

variable "deleted_days" {
  description = "Days for which deleted objects of the media bucket can be had again, and are paid for: those too that a person asked to be erased. 0, or 7 to 90."
  type        = number
  default     = 30

  validation {
    condition     = var.deleted_days == 0 || (var.deleted_days >= 7 && var.deleted_days <= 90)
    error_message = "0, or 7 to 90."
  }
}

variable "database_by_socket" {
  description = "Whether service, worker and jobs reach the database by the socket below /cloudsql, which takes a role of their own, and a public address of the database that no network may use."
  type        = bool
  default     = false
}

variable "database_host" {
  description = "Where the database is, if it is another one than that which is made here, as after one was restored."
  type        = string
  default     = ""
}

variable "mail_from" {
  description = "The sender of the site's mails. Empty: the service's name at its host."
  type        = string
  default     = ""
}

variable "proxies" {
  description = "How many proxies add to X-Forwarded-For: 1, or 2 behind a load balancer."
  type        = number
  default     = 1
}
