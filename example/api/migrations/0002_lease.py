import uuid

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("api", "0001_once")]

    operations = [
        migrations.AddField(
            model_name="oncerequest",
            name="lease",
            field=models.UUIDField(
                default=uuid.uuid4, verbose_name="holder of the lease"
            ),
        ),
    ]
