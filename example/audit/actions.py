"""What is written down: one word of this list for each thing that was done."""

from __future__ import annotations

import enum


class Action(enum.StrEnum):
    """A noun and what was done to it; the words are kept in rows, and never change."""

    OBJECT_CREATE = "object.create"
    OBJECT_VERSION = "object.version"
    OBJECT_RESTORE = "object.restore"
    OBJECT_RENAME = "object.rename"
    OBJECT_MOVE = "object.move"
    OBJECT_DELETE = "object.delete"
    OBJECT_UNDELETE = "object.undelete"
    OBJECT_PURGE = "object.purge"
    OBJECT_RECOVER = "object.recover"
    UPLOAD_GIVE_UP = "upload.give_up"
    EVENT_CREATE = "event.create"
    EVENT_CHANGE = "event.change"
    EVENT_DELETE = "event.delete"
    PERMISSION_GRANT = "permission.grant"
    PERMISSION_REVOKE = "permission.revoke"
    DEFAULT_GRANT = "default.grant"
    DEFAULT_REVOKE = "default.revoke"
    SHARE_CREATE = "share.create"
    SHARE_REVOKE = "share.revoke"
    SHARE_DOWNLOAD = "share.download"
    EXPORT_START = "export.start"
    EXPORT_READY = "export.ready"
    EXPORT_FAIL = "export.fail"
    EXPORT_CANCEL = "export.cancel"
    EXPORT_DOWNLOAD = "export.download"
    EXPORT_PIN = "export.pin"
    EXPORT_DELETE = "export.delete"
    EXPORT_IMPORT = "export.import"
    # The name of an action, not a token.
    TOKEN_REVOKE = "token.revoke"  # noqa: S105
    USER_INVITE = "user.invite"
    USER_CREATE = "user.create"
    USER_CHANGE = "user.change"
    # The name of an action, not a password.
    USER_PASSWORD = "user.password"  # noqa: S105
    USER_ERASE = "user.erase"
    GROUP_CREATE = "group.create"
    GROUP_CHANGE = "group.change"
    GROUP_DELETE = "group.delete"
    TENANT_CREATE = "tenant.create"
    TENANT_CHANGE = "tenant.change"
    TENANT_DELETE = "tenant.delete"
    TENANT_MOVE = "tenant.move"
    JOB_CANCEL = "job.cancel"
    JOB_RETRY = "job.retry"
