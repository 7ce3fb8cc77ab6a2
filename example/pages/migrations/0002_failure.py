from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pages", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Failure",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                ("at", models.DateTimeField(db_index=True)),
                ("source", models.CharField(max_length=100)),
                ("text", models.CharField(max_length=300)),
                ("count", models.PositiveIntegerField(default=1)),
            ],
            options={
                "default_permissions": (),
            },
        ),
    ]
