"""Jobs that have ended keep their turn; those that have not are found by their time."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("jobs", "0002_turns"),)
    operations = (
        migrations.RemoveIndex(model_name="job", name="job_turns"),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", True)),
                fields=["turn", "priority", "due_at"],
                name="job_turns",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(
                    ("started_at__isnull", False), ("turn__isnull", False)
                ),
                fields=["turn"],
                name="job_begun_turns",
            ),
        ),
    )
