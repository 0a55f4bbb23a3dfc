-- DropTable
DROP TABLE "JobStats";

-- CreateTable
CREATE TABLE "Task" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "jobId" TEXT NOT NULL,
    "placement" TEXT NOT NULL DEFAULT '{}',
    "wanted" TEXT NOT NULL DEFAULT 'run',
    "revision" INTEGER NOT NULL DEFAULT 1,
    "allConnected" INTEGER NOT NULL DEFAULT 0,
    "place" TEXT NOT NULL,
    "worker" TEXT,
    "epoch" INTEGER NOT NULL DEFAULT 0,
    "state" TEXT NOT NULL DEFAULT 'waiting',
    "stateSince" BIGINT NOT NULL,
    "connections" INTEGER NOT NULL DEFAULT 0,
    "failure" TEXT,
    "work" TEXT NOT NULL,
    CONSTRAINT "Task_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateTable
CREATE TABLE "TaskStats" (
    "taskId" TEXT NOT NULL PRIMARY KEY,
    "jobId" TEXT NOT NULL,
    "updatedAt" BIGINT NOT NULL,
    "stats" TEXT NOT NULL,
    CONSTRAINT "TaskStats_taskId_fkey" FOREIGN KEY ("taskId") REFERENCES "Task" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateTable
CREATE TABLE "Worker" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "name" TEXT NOT NULL,
    "version" TEXT NOT NULL,
    "labels" TEXT NOT NULL DEFAULT '{}',
    "exclusive" BOOLEAN NOT NULL DEFAULT false,
    "slots" INTEGER,
    "tasks" INTEGER NOT NULL DEFAULT 0,
    "jobs" INTEGER NOT NULL DEFAULT 0,
    "load" REAL NOT NULL DEFAULT 0,
    "drainRequested" BOOLEAN NOT NULL DEFAULT false,
    "ending" BOOLEAN NOT NULL DEFAULT false,
    "startedAt" BIGINT NOT NULL,
    "heartbeatAt" BIGINT NOT NULL
);

-- AlterTable
ALTER TABLE "Pipeline" ADD COLUMN "placement" TEXT NOT NULL DEFAULT '{}';

-- AlterTable
DROP INDEX "Job_leaseUntil_idx";
ALTER TABLE "Job" DROP COLUMN "leaseUntil";
ALTER TABLE "Job" ADD COLUMN "epoch" INTEGER NOT NULL DEFAULT 0;

-- CreateIndex
CREATE INDEX "Task_jobId_idx" ON "Task"("jobId");

-- CreateIndex
CREATE INDEX "Task_worker_idx" ON "Task"("worker");

-- CreateIndex
CREATE INDEX "TaskStats_jobId_idx" ON "TaskStats"("jobId");

-- CreateIndex
CREATE INDEX "Worker_name_idx" ON "Worker"("name");
