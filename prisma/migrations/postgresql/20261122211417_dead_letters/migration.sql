-- AlterTable
ALTER TABLE "Job" ADD COLUMN     "deadLetterBytes" BIGINT NOT NULL DEFAULT 0,
ADD COLUMN     "deadLetters" INTEGER NOT NULL DEFAULT 0;

-- CreateTable
CREATE TABLE "DeadLetter" (
    "id" TEXT NOT NULL,
    "jobId" TEXT NOT NULL,
    "createdAt" BIGINT NOT NULL,
    "receivedAt" BIGINT NOT NULL,
    "operatorId" TEXT NOT NULL,
    "taskIndex" INTEGER NOT NULL,
    "sourceTable" TEXT NOT NULL,
    "payload" BYTEA NOT NULL,
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

    CONSTRAINT "DeadLetter_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "DeadLetter_jobId_createdAt_id_idx" ON "DeadLetter"("jobId", "createdAt", "id");

-- CreateIndex
CREATE INDEX "DeadLetter_state_jobId_idx" ON "DeadLetter"("state", "jobId");

-- AddForeignKey
ALTER TABLE "DeadLetter" ADD CONSTRAINT "DeadLetter_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job"("id") ON DELETE CASCADE ON UPDATE CASCADE;
