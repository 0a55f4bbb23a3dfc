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

    CONSTRAINT "TaskSeries_pkey" PRIMARY KEY ("jobId","minute","sourceId","sinkId","taskIndex","since")
);

-- CreateIndex
CREATE INDEX "TaskSeries_minute_idx" ON "TaskSeries"("minute");

-- AddForeignKey
ALTER TABLE "TaskSeries" ADD CONSTRAINT "TaskSeries_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job"("id") ON DELETE CASCADE ON UPDATE CASCADE;
