-- By hand: the generated way makes each table anew, and dropping the old one would delete what hangs on it.
ALTER TABLE "ConnectionProfile" ADD COLUMN "labels" TEXT NOT NULL DEFAULT '{}';
ALTER TABLE "ConnectionTable" ADD COLUMN "labels" TEXT NOT NULL DEFAULT '{}';
ALTER TABLE "Pipeline" ADD COLUMN "labels" TEXT NOT NULL DEFAULT '{}';
ALTER TABLE "Job" ADD COLUMN "editRequests" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "Job" ADD COLUMN "editsDone" INTEGER NOT NULL DEFAULT 0;
