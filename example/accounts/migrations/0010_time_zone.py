from django.db import migrations, models

import accounts.models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0009_tenant_export_store")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="time_zone",
            field=models.CharField(
                blank=True,
                choices=accounts.models.time_zones,
                help_text="In which pages show times. Empty: the site's.",
                max_length=64,
                verbose_name="time zone",
            ),
        ),
    ]
