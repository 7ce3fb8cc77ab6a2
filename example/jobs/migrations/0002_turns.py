"""Jobs get turns, in which they are begun, and those that have ended have none."""

from django.db import migrations, models


def take_from_ended(apps, schema_editor):
    jobs = apps.get_model("jobs", "Job").objects
    jobs.exclude(state__in=("waiting", "running")).update(turn=None)


class Migration(migrations.Migration):
    dependencies = (("jobs", "0001_initial"),)
    operations = (
        migrations.RemoveIndex(model_name="job", name="job_open"),
        migrations.AddField(
            model_name="job",
            name="priority",
            field=models.PositiveSmallIntegerField(db_default=0, editable=False),
        ),
        migrations.AddField(
            model_name="job",
            name="turn",
            field=models.PositiveBigIntegerField(
                db_default=0, editable=False, null=True
            ),
        ),
        migrations.RunPython(take_from_ended, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("turn__isnull", False)),
                fields=["turn", "priority", "due_at"],
                name="job_turns",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                condition=models.Q(("turn__isnull", False)),
                fields=["tenant", "turn"],
                name="job_tenants_turns",
            ),
        ),
    )
