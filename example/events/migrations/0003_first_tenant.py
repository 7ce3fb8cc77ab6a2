"""Events from before there were tenants belong to the first one."""

from django.db import migrations


def move_to_first_tenant(apps, schema_editor):
    events = apps.get_model("events", "Event").objects.filter(tenant=None)
    if events.exists():
        tenants = apps.get_model("accounts", "Tenant").objects
        first = tenants.order_by("pk").first() or tenants.create(
            name="First tenant", slug="first-tenant", is_super=True
        )
        events.update(tenant=first)


class Migration(migrations.Migration):
    dependencies = (("events", "0002_tenant"),)
    operations = (
        migrations.RunPython(move_to_first_tenant, migrations.RunPython.noop),
    )
