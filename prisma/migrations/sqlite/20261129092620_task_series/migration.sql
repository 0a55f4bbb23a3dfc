-- CreateTable
CREATE TABLE "TaskSeries" (
    "jobId" TEXT NOT NULL,
    "sourceId" TEXT NOT NULL,
    "sinkId" TEXT NOT NULL,
    "taskIndex" INTEGER NOT NULL,
    "minute" BIGINT NOT NULL,
    "since" BIGINT NOT NULL,
    "worker" TEXT NOT NULL,
    "steps" TEXT NOT NULL,

    PRIMARY KEY ("jobId", "minute", "sourceId", "sinkId", "taskIndex", "since"),
    CONSTRAINT "TaskSeries_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateIndex
CREATE INDEX "TaskSeries_minute_idx" ON "TaskSeries"("minute");
