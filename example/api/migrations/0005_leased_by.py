from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("api", "0004_persons"),
    ]

    operations = [
        migrations.AddField(
            model_name="oncerequest",
            name="leased_by",
            field=models.CharField(
                db_default="", default="", editable=False, max_length=100
            ),
        ),
    ]
