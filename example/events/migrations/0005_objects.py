import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_limits_of_settings"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("events", "0004_tenant_required"),
        ("objects", "0007_copies"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="event",
            options={
                "ordering": ("starts_at", "name", "pk"),
                "permissions": (
                    ("edit_event", "Can change the event, its speakers and sessions"),
                    ("administer_event", "Can grant permissions on the event"),
                ),
                "verbose_name": "event",
                "verbose_name_plural": "events",
            },
        ),
        migrations.AlterModelOptions(
            name="session",
            options={
                "ordering": ("position", "pk"),
                "verbose_name": "session",
                "verbose_name_plural": "sessions",
            },
        ),
        migrations.AlterModelOptions(
            name="speaker",
            options={
                "ordering": ("position", "pk"),
                "verbose_name": "speaker",
                "verbose_name_plural": "speakers",
            },
        ),
        migrations.AddField(
            model_name="event",
            name="owner",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="events_owned",
                to=settings.AUTH_USER_MODEL,
                verbose_name="owner",
            ),
        ),
        migrations.AddField(
            model_name="event",
            name="published",
            field=models.BooleanField(
                default=False,
                help_text="Anybody may see its page, its photos and its slides.",
                verbose_name="published",
            ),
        ),
        migrations.AddField(
            model_name="session",
            name="position",
            field=models.PositiveIntegerField(
                default=0, editable=False, verbose_name="position"
            ),
        ),
        migrations.AddField(
            model_name="session",
            name="slides_object",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="objects.storedobject",
                verbose_name="slides",
            ),
        ),
        migrations.AddField(
            model_name="speaker",
            name="photo_object",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="objects.storedobject",
                verbose_name="photo",
            ),
        ),
        migrations.AddField(
            model_name="speaker",
            name="position",
            field=models.PositiveIntegerField(
                default=0, editable=False, verbose_name="position"
            ),
        ),
        migrations.AlterField(
            model_name="event",
            name="description",
            field=models.TextField(blank=True, verbose_name="description"),
        ),
        migrations.AlterField(
            model_name="event",
            name="name",
            field=models.CharField(max_length=200, verbose_name="name"),
        ),
        migrations.AlterField(
            model_name="event",
            name="place",
            field=models.CharField(max_length=200, verbose_name="place"),
        ),
        migrations.AlterField(
            model_name="event",
            name="slug",
            field=models.SlugField(unique=True, verbose_name="address"),
        ),
        migrations.AlterField(
            model_name="event",
            name="starts_at",
            field=models.DateTimeField(verbose_name="beginning"),
        ),
        migrations.AlterField(
            model_name="event",
            name="tenant",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="accounts.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AlterField(
            model_name="session",
            name="event",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="sessions",
                to="events.event",
                verbose_name="event",
            ),
        ),
        migrations.AlterField(
            model_name="session",
            name="speakers",
            field=models.ManyToManyField(
                blank=True,
                related_name="sessions",
                to="events.speaker",
                verbose_name="speakers",
            ),
        ),
        migrations.AlterField(
            model_name="session",
            name="title",
            field=models.CharField(max_length=200, verbose_name="title"),
        ),
        migrations.AlterField(
            model_name="speaker",
            name="event",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="speakers",
                to="events.event",
                verbose_name="event",
            ),
        ),
        migrations.AlterField(
            model_name="speaker",
            name="name",
            field=models.CharField(max_length=200, verbose_name="name"),
        ),
        migrations.CreateModel(
            name="EventGroupPermission",
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
                    "content_object",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="events.event"
                    ),
                ),
                (
                    "group",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="auth.group"
                    ),
                ),
                (
                    "permission",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="auth.permission",
                    ),
                ),
            ],
            options={
                "verbose_name": "permission of a group on an event",
                "verbose_name_plural": "permissions of groups on events",
                "abstract": False,
                "unique_together": {("group", "permission", "content_object")},
            },
        ),
        migrations.CreateModel(
            name="EventUserPermission",
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
                    "content_object",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, to="events.event"
                    ),
                ),
                (
                    "permission",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="auth.permission",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "permission of a user on an event",
                "verbose_name_plural": "permissions of users on events",
                "abstract": False,
                "unique_together": {("user", "permission", "content_object")},
            },
        ),
    ]
