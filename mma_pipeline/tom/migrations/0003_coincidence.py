"""Messages about pairs of events have a kind of their own."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mma_tom", "0002_posterior"),
    ]

    operations = [
        migrations.AlterField(
            model_name="derivedalert",
            name="kind",
            field=models.CharField(
                choices=[
                    ("version", "Version"),
                    ("candidate", "Candidate"),
                    ("coincidence", "Coincidence"),
                    ("retraction", "Retraction"),
                ],
                db_index=True,
                max_length=12,
            ),
        ),
    ]
