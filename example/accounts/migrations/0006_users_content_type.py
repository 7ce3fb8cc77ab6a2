"""What the admin and permissions say of Django's users is of ours, the same rows."""

from django.db import migrations


def rename(apps, schema_editor):
    types = apps.get_model("contenttypes", "ContentType").objects
    types = types.using(schema_editor.connection.alias)
    if not types.filter(app_label="accounts", model="user").exists():
        types.filter(app_label="auth", model="user").update(app_label="accounts")


class Migration(migrations.Migration):
    dependencies = (
        ("accounts", "0005_group_labels"),
        ("contenttypes", "0002_remove_content_type_name"),
    )
    operations = (migrations.RunPython(rename, migrations.RunPython.noop),)
