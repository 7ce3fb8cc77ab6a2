"""PostgreSQL refuses to change what was written down, whoever asks."""

from django.db import migrations

# The one change that is let through puts "erased" in the place of names, and drops the
# details that may hold names as well: what was done, when, and the numbers stay.
APPEND_ONLY = """
CREATE FUNCTION audit_entry_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.at, NEW.action, NEW.tenant_id, NEW.actor_id, NEW.target_type,
            NEW.target_id)
            IS NOT DISTINCT FROM
            (OLD.id, OLD.at, OLD.action, OLD.tenant_id, OLD.actor_id, OLD.target_type,
            OLD.target_id)
            AND NEW.actor_name IN (OLD.actor_name, 'erased')
            AND NEW.target_name IN (OLD.target_name, 'erased')
            AND NEW.details IN (OLD.details, '{}'::jsonb)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit_entry is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH ROW EXECUTE FUNCTION audit_entry_append_only();
CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_append_only();
"""
NOT_SO = """
DROP TRIGGER audit_entry_no_truncate ON audit_entry;
DROP TRIGGER audit_entry_append_only ON audit_entry;
DROP FUNCTION audit_entry_append_only();
"""


def enforce(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(APPEND_ONLY, params=None)


def relax(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(NOT_SO, params=None)


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(enforce, relax, elidable=False),
    ]
