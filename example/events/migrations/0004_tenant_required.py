import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    # Apart from the one before: PostgreSQL changes no table with rows yet to be checked.
    dependencies = (("events", "0003_first_tenant"),)
    operations = (
        migrations.AlterField(
            model_name="event",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="accounts.tenant",
            ),
        ),
    )
