from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pages", "0002_failure"),
    ]

    operations = [
        migrations.AlterField(
            model_name="thumbnail",
            name="state",
            field=models.CharField(
                choices=[
                    ("waiting", "Waiting"),
                    ("stored", "Stored"),
                    ("none", "None"),
                    ("missing", "Missing"),
                ],
                default="waiting",
                max_length=10,
            ),
        ),
    ]
