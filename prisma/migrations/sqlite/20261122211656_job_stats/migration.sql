-- By hand: the generated way makes each table anew, and dropping the old one would delete what hangs on it.
ALTER TABLE "Job" ADD COLUMN "recoveries" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "Job" ADD COLUMN "recoveringSince" BIGINT;

-- CreateTable
CREATE TABLE "JobStats" (
    "jobId" TEXT NOT NULL PRIMARY KEY,
    "updatedAt" BIGINT NOT NULL,
    "stats" TEXT NOT NULL,
    CONSTRAINT "JobStats_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
