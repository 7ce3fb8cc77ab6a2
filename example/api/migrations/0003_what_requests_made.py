from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("api", "0002_lease"),
    ]

    operations = [
        migrations.AddField(
            model_name="oncerequest",
            name="object_id",
            field=models.UUIDField(
                db_index=True,
                help_text="That the result names.",
                null=True,
                verbose_name="object",
            ),
        ),
        migrations.AddField(
            model_name="oncerequest",
            name="version",
            field=models.UUIDField(
                help_text="That it began, or is about to: of a content.",
                null=True,
                verbose_name="version",
            ),
        ),
    ]
