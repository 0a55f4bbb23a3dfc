-- AlterTable
ALTER TABLE "Job" ADD COLUMN     "restartForce" BOOLEAN NOT NULL DEFAULT false;

-- CreateTable
CREATE TABLE "SourceSession" (
    "id" TEXT NOT NULL,
    "jobId" TEXT NOT NULL,
    "operatorId" TEXT NOT NULL,
    "taskIndex" INTEGER NOT NULL,
    "connector" TEXT NOT NULL,
    "profile" TEXT NOT NULL,
    "tables" TEXT NOT NULL,
    "insert" TEXT,
    "established" BOOLEAN NOT NULL DEFAULT false,
    "state" TEXT NOT NULL DEFAULT 'held',
    "stateSince" BIGINT NOT NULL,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "nextTry" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "SourceSession_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "SourceSession_jobId_idx" ON "SourceSession"("jobId");

-- CreateIndex
CREATE INDEX "SourceSession_state_nextTry_idx" ON "SourceSession"("state", "nextTry");

-- What deleted pipelines left is carried over, before its table goes.
INSERT INTO "SourceSession" ("id", "jobId", "operatorId", "taskIndex", "connector", "profile", "tables", "established", "state", "stateSince", "attempts", "nextTry")
SELECT "id", "jobId", "operatorId", "taskIndex", "connector", "profile", '[' || "config" || ']', true, 'leftover', "createdAt", "attempts", "nextTry" FROM "Leftover";

-- DropTable
DROP TABLE "Leftover";
