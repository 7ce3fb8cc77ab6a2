from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = (("accounts", "0004_tenant_required"),)
    operations = (
        migrations.AddField(
            model_name="tenantgroup",
            name="label",
            field=models.CharField(default="", max_length=100, verbose_name="name"),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="tenantgroup",
            constraint=models.UniqueConstraint(
                fields=("tenant", "label"),
                name="one_group_of_a_name",
                violation_error_message="There is a group of the name already.",
            ),
        ),
    )
