from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("uploads", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="user_version",
            field=models.CharField(default="", editable=False, max_length=32),
        ),
    ]
