-- AlterTable
ALTER TABLE "Job" ADD COLUMN     "recoveries" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "recoveringSince" BIGINT;

-- CreateTable
CREATE TABLE "JobStats" (
    "jobId" TEXT NOT NULL,
    "updatedAt" BIGINT NOT NULL,
    "stats" TEXT NOT NULL,

    CONSTRAINT "JobStats_pkey" PRIMARY KEY ("jobId")
);

-- AddForeignKey
ALTER TABLE "JobStats" ADD CONSTRAINT "JobStats_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job"("id") ON DELETE CASCADE ON UPDATE CASCADE;
