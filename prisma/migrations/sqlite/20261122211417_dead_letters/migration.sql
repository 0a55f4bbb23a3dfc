-- By hand: the generated way makes the table of jobs anew, and dropping the old one would delete what hangs on it.
ALTER TABLE "Job" ADD COLUMN "deadLetters" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "Job" ADD COLUMN "deadLetterBytes" BIGINT NOT NULL DEFAULT 0;

-- CreateTable
CREATE TABLE "DeadLetter" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "jobId" TEXT NOT NULL,
    "createdAt" BIGINT NOT NULL,
    "receivedAt" BIGINT NOT NULL,
    "operatorId" TEXT NOT NULL,
    "taskIndex" INTEGER NOT NULL,
    "sourceTable" TEXT NOT NULL,
    "payload" BLOB NOT NULL,
    "bytes" INTEGER NOT NULL,
    "metadata" TEXT NOT NULL,
    "stage" TEXT NOT NULL,
    "code" TEXT NOT NULL,
    "message" TEXT NOT NULL,
    "errors" TEXT NOT NULL,
    "failedRows" TEXT,
    "rowCount" INTEGER,
    "state" TEXT NOT NULL DEFAULT 'waiting',
    "replays" INTEGER NOT NULL DEFAULT 0,
    "replayedAt" BIGINT,
    CONSTRAINT "DeadLetter_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateIndex
CREATE INDEX "DeadLetter_jobId_createdAt_id_idx" ON "DeadLetter"("jobId", "createdAt", "id");

-- CreateIndex
CREATE INDEX "DeadLetter_state_jobId_idx" ON "DeadLetter"("state", "jobId");
