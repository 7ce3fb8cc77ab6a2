from django.db import migrations


class Migration(migrations.Migration):
    # Apart from the one before: PostgreSQL changes no table with rows yet to be checked.
    dependencies = (("events", "0006_adopt_files"),)
    operations = (
        migrations.RemoveField(model_name="session", name="slides"),
        migrations.RemoveField(model_name="speaker", name="photo"),
    )
