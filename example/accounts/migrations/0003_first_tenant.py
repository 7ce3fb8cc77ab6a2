"""Users from before there were tenants belong to the first one, the operator's."""

from django.db import migrations

NAME = "First tenant"


def make_first_tenant(apps, schema_editor):
    users = apps.get_model("accounts", "User").objects.filter(tenant=None)
    if users.exists():
        tenants = apps.get_model("accounts", "Tenant").objects
        first = tenants.create(name=NAME, slug="first-tenant", is_super=True)
        users.filter(is_superuser=True).update(is_administrator=True)
        users.update(tenant=first)


class Migration(migrations.Migration):
    dependencies = (("accounts", "0002_tenants"),)
    operations = (migrations.RunPython(make_first_tenant, migrations.RunPython.noop),)
