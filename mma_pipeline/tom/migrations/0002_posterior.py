"""Posterior and reasons of candidates."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mma_tom", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="derivedalert",
            name="posterior",
            field=models.FloatField(db_index=True, null=True),
        ),
        migrations.AddField(
            model_name="derivedalert",
            name="reasons",
            field=models.JSONField(default=list),
        ),
    ]
