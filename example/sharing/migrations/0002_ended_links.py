from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sharing", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="EndedLink",
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
                (
                    "token_sha256",
                    models.CharField(editable=False, max_length=64, unique=True),
                ),
                (
                    "ended_at",
                    models.DateTimeField(
                        auto_now_add=True, db_index=True, verbose_name="ended"
                    ),
                ),
            ],
            options={
                "verbose_name": "ended share link",
                "verbose_name_plural": "ended share links",
                "default_permissions": (),
            },
        ),
    ]
