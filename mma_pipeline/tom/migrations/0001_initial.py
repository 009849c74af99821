"""Tables of the TOM."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tom_observations", "0016_alter_facility_options"),
        ("tom_targets", "0031_basetarget_shared_by_basetarget_shared_from"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Event",
            fields=[
                ("event_id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("is_test", models.BooleanField(default=False)),
                ("significant", models.BooleanField(db_index=True, null=True)),
                ("significant_as_of", models.DateTimeField(null=True)),
                ("version", models.CharField(blank=True, default="", max_length=100)),
                ("version_created", models.DateTimeField(null=True)),
                ("retracted_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="RejectedMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(max_length=300, unique=True)),
                ("reason", models.TextField()),
                ("body", models.BinaryField()),
                ("received", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="StreamPosition",
            fields=[
                ("stream", models.CharField(max_length=200, primary_key=True, serialize=False)),
                ("offsets", models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name="DerivedAlert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("message_id", models.CharField(max_length=32, unique=True)),
                ("schema", models.CharField(max_length=4)),
                (
                    "kind",
                    models.CharField(
                        choices=[("version", "Version"), ("candidate", "Candidate"), ("retraction", "Retraction")],
                        db_index=True,
                        max_length=12,
                    ),
                ),
                ("source", models.CharField(blank=True, default="", max_length=300)),
                ("published", models.DateTimeField(db_index=True)),
                ("body", models.JSONField()),
                ("version", models.CharField(blank=True, default="", max_length=100)),
                ("is_test", models.BooleanField(default=False)),
                ("candidate", models.CharField(blank=True, db_index=True, default="", max_length=100)),
                ("ra", models.FloatField(null=True)),
                ("dec", models.FloatField(db_index=True, null=True)),
                ("x", models.FloatField(null=True)),
                ("y", models.FloatField(null=True)),
                ("z", models.FloatField(null=True)),
                ("observed", models.DateTimeField(null=True)),
                ("kilonova_probability", models.FloatField(db_index=True, null=True)),
                ("other_probability", models.FloatField(null=True)),
                ("credible_level", models.FloatField(null=True)),
                ("magnitude", models.FloatField(null=True)),
                ("magnitude_error", models.FloatField(null=True)),
                ("band", models.CharField(blank=True, default="", max_length=32)),
                ("aliases", models.JSONField(default=list)),
                ("retracts", models.CharField(blank=True, db_index=True, default="", max_length=32)),
                ("retracted", models.BooleanField(db_index=True, default=False)),
                (
                    "target",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="mma_alerts",
                        to="tom_targets.basetarget",
                    ),
                ),
                (
                    "event",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="alerts",
                        to="mma_tom.event",
                    ),
                ),
            ],
            options={
                "ordering": ["-published", "-pk"],
            },
        ),
        migrations.CreateModel(
            name="OidcAccount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subject", models.CharField(max_length=255, unique=True)),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="mma_oidc",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Withdrawal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("done", "Done"), ("failed", "Failed")],
                        db_index=True,
                        default="waiting",
                        max_length=8,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_attempt", models.DateTimeField(db_index=True)),
                ("note", models.TextField(blank=True, default="")),
                (
                    "record",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="mma_withdrawal",
                        to="tom_observations.observationrecord",
                    ),
                ),
                (
                    "retraction",
                    models.ForeignKey(
                        null=True, on_delete=django.db.models.deletion.SET_NULL, to="mma_tom.derivedalert"
                    ),
                ),
            ],
        ),
    ]
