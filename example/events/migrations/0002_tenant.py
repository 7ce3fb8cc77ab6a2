import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("accounts", "0004_tenant_required"), ("events", "0001_initial"))
    operations = (
        migrations.AddField(
            model_name="event",
            name="tenant",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="accounts.tenant",
            ),
        ),
    )
